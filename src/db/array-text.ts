/** One-dimensional PostgreSQL array literals, `{a,"b c",NULL}`, as both drivers send and receive them. */

export function formatArray(elements: readonly (string | null)[]): string {
  const texts = elements.map((element) =>
    element === null ? 'NULL' : `"${element.replace(/[\\"]/g, '\\$&')}"`,
  );
  return `{${texts.join(',')}}`;
}

export function parseArray<T>(text: string, parse: (element: string) => T): (T | null)[] {
  if (!text.startsWith('{') || !text.endsWith('}')) {
    throw new Error('array with bounds of its own or without braces');
  }
  const elements: (T | null)[] = [];
  // Either a quoted element, or one without quotes, where the word NULL means null.
  const element = /"((?:[^"\\]|\\[\s\S])*)"(?:,|$)|([^",{}]+)(?:,|$)/y;
  const body = text.slice(1, -1);
  while (element.lastIndex < body.length) {
    const found = element.exec(body);
    if (found === null) throw new Error('array of more than one dimension');
    const [, quoted, bare = ''] = found;
    if (quoted !== undefined) elements.push(parse(quoted.replace(/\\([\s\S])/g, '$1')));
    else elements.push(bare.toUpperCase() === 'NULL' ? null : parse(bare));
  }
  return elements;
}
