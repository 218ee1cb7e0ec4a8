/** Asks for the next piece while the one before it is used. */
export async function* ahead<T>(pieces: AsyncGenerator<T>): AsyncGenerator<T> {
  for (let next = pieces.next(); ; ) {
    const { done, value } = await next;
    if (done) return;
    next = pieces.next();
    next.catch(() => {}); // told when it is asked for, if it still is
    yield value;
  }
}
