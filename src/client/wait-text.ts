/** Languages of the catalogue (M3). */
export type CatalogueLocale = 'en' | 'vi';

const UNITS = {
  second: { en: 'second', vi: 'giây' },
  minute: { en: 'minute', vi: 'phút' },
  hour: { en: 'hour', vi: 'giờ' },
  day: { en: 'day', vi: 'ngày' },
} as const;

/**
 * How long to wait, as people say it: `in 2 minutes`, `sau 2 phút`. Rounded up, so that whoever
 * waits that long does not come too early; without a number, `later`.
 */
export function waitText(seconds: number | undefined, locale: CatalogueLocale): string {
  if (seconds === undefined) return locale === 'en' ? 'later' : 'sau ít phút';
  const [count, unit] = scale(Math.max(1, Math.ceil(seconds)));
  if (locale === 'vi') return `sau ${count} ${UNITS[unit].vi}`;
  return `in ${count} ${UNITS[unit].en}${count === 1 ? '' : 's'}`;
}

function scale(seconds: number): readonly [number, keyof typeof UNITS] {
  if (seconds < 100) return [seconds, 'second'];
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 100) return [minutes, 'minute'];
  const hours = Math.ceil(seconds / 3_600);
  return hours < 48 ? [hours, 'hour'] : [Math.ceil(seconds / 86_400), 'day'];
}
