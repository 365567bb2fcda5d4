const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** The one way for text into HTML, content and quoted attributes alike (rule 23). */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** Control and format characters (direction overrides among them), lone surrogates, line separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;
/** With a scheme, or what phones make a link of by itself: dotted labels that end in letters. */
const WITH_SCHEME = /[\p{L}][\p{L}\p{N}+.-]*:\/\/\S*/gu;
const BARE_HOST =
  /[\p{L}\p{N}_-]+(?:[.。．｡][\p{L}\p{N}_-]+)*[.。．｡]\p{L}[\p{L}\p{N}-]+(?::\d+)?(?:[/?#]\S*)?/gu;

/**
 * One line of text for SMS and subjects: no control characters, nothing that becomes a link
 * (rule 23). Masked addresses pass unchanged: the bullet before their dot is no part of a host.
 */
export function plainLine(text: string): string {
  return text
    .replace(UNPRINTABLE, ' ')
    .replace(WITH_SCHEME, ' ')
    .replace(BARE_HOST, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}
