/** Gives its last answer again for so long: what is asked for by many is found out once. */
export function keep<T>(forMs: number, ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  let askedAt = -Infinity;
  return () => {
    const now = performance.now();
    if (asked === undefined || now - askedAt > forMs) {
      askedAt = now;
      asked = ask();
    }
    return asked;
  };
}

export const LATE = Symbol('late');

/** Waits for `work`, `ms` at most. When this process is late itself, what has been answered meanwhile is read first. */
export async function within<T>(ms: number, work: T | Promise<T>): Promise<T | typeof LATE> {
  const late = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(() => setImmediate(late.resolve, LATE), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
