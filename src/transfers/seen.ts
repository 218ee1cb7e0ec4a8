const MOST = 1_000_000;

/**
 * The emails that a dry run has met, each as a number of 53 bits: 40 MB for a million. Those beyond that are not
 * remembered, and a second row for one of them is counted as if it were the first; so, about once in ten thousand runs of
 * a million rows, is a first one as if it were the second.
 */
export class SeenEmails {
  readonly #numbers = new Set<number>();

  has(email: string): boolean {
    return this.#numbers.has(numberOf(email));
  }

  add(email: string): void {
    if (this.#numbers.size < MOST) this.#numbers.add(numberOf(email));
  }
}

/** cyrb53 (public domain): two lanes of 32 bits, mixed, of which 53 are kept. */
function numberOf(text: string): number {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
