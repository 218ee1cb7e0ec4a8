export type DialectName = 'sqlite' | 'postgresql';

/** Whether this names a database: `sqlite:PATH`, `sqlite::memory:` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`. */
export function isDatabaseUrl(url: string): boolean {
  if (url.startsWith('sqlite:')) return url.length > 'sqlite:'.length && url === url.trim();
  const { protocol = '', host = '', pathname = '' } = URL.parse(url) ?? {};
  return /^postgres(ql)?:$/.test(protocol) && HOST.test(host) && /^\/[^/]+$/.test(pathname);
}

export function dialectOf(databaseUrl: string): DialectName {
  return databaseUrl.startsWith('sqlite:') ? 'sqlite' : 'postgresql';
}

export function sqlitePath(databaseUrl: string): string {
  return databaseUrl.slice('sqlite:'.length);
}

/** Undefined for a database in memory, and for PostgreSQL. */
export function sqliteFile(databaseUrl: string): string | undefined {
  const path = sqlitePath(databaseUrl);
  return dialectOf(databaseUrl) === 'sqlite' && path !== ':memory:' ? path : undefined;
}

const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/i;

/** As it may be shown and logged: without user, password and options. Not at all when it cannot be told apart. */
export function redactUrl(url: string): string {
  if (url.startsWith('sqlite:')) return url;
  const { protocol, host, pathname } = URL.parse(url) ?? {};
  return host === undefined || host === '' ? '(not shown)' : `${protocol}//${host}${pathname}`;
}
