/**
 * Class or short code of an error, for rows and logs. Never its text, in which providers and drivers
 * repeat addresses (rule 22); runs of digits are refused for the same reason.
 */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const code: unknown = Reflect.get(error, 'code');
  const candidates = [code, error.name];
  const fit = candidates.find(
    (text): text is string =>
      typeof text === 'string' && /^[A-Za-z0-9_]{1,40}$/.test(text) && !/[0-9]{6}/.test(text),
  );
  return fit ?? 'unknown';
}
