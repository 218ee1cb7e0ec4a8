/* Two rules that the service keeps as well, written once more: from the text of their RFCs, not from the service. */

/** RFC 7396 §2. */
export function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name);
    else result.set(name, merge(result.get(name), value));
  }
  return Object.fromEntries(result);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 9110 §13.1.1: `*`, or entity tags between commas; undefined for what is neither. */
export function tagsOf(header: string): '*' | string[] | undefined {
  if (header === '*') return '*';
  const tags: string[] = [];
  let rest = header;
  for (;;) {
    rest = rest.replace(/^[ \t]*/, '');
    if (rest === '') return tags.length > 0 ? tags : undefined;
    if (rest.startsWith(',')) {
      rest = rest.slice(1);
      continue;
    }
    const end = rest.indexOf('"', rest.indexOf('"') + 1);
    const tag = rest.slice(0, end + 1);
    if (!/^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag)) return undefined;
    tags.push(tag);
    rest = rest.slice(end + 1).replace(/^[ \t]*/, '');
    if (rest !== '' && !rest.startsWith(',')) return undefined;
  }
}

/** Strongly, a weak tag is like none; weakly, it is like the strong one. */
export function includesTag(tags: '*' | string[], etag: string, how: 'strong' | 'weak'): boolean {
  return tags === '*' || tags.some((tag) => (how === 'weak' ? tag.replace(/^W\//, '') : tag) === etag);
}
