/**
 * What the two databases give back differently from a plain query. Dates are milliseconds since 1970 on SQLite and
 * text with an offset on PostgreSQL; JSON is text on SQLite and already parsed by the PostgreSQL driver.
 */
export function toDate(value: unknown): Date {
  return new Date(value as number | string);
}

export function toJson<T>(value: unknown): T {
  return (typeof value === 'string' ? JSON.parse(value) : value) as T;
}
