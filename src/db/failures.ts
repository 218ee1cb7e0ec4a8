/**
 * Failures of the database that are nobody's mistake. `away`: it cannot be reached, is going or coming, or has no room;
 * whatever else is sent now fails too. `locked`: others held for too long what this statement needs. `deadlock`: it was
 * the one chosen to give way. The last two were not carried out.
 */
export function databaseFailure(error: unknown): 'away' | 'locked' | 'deadlock' | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? String(at.code) : '';
    if (code === '55P03') return 'locked';
    if (code === '40P01') return 'deadlock';
    if (AWAY.test(code) || AWAY_MESSAGE.test(at.message)) return 'away';
  }
  return undefined;
}

/** SQLSTATE classes 08 (connection), 53 (resources), 57P (shutdown), 57014 (cancelled); sockets; a full SQLite disk. */
const AWAY = /^(08...|53...|57P0.|57014|E[A-Z]+|SQLITE_(FULL|BUSY|IOERR|CANTOPEN|READONLY).*)$/;

/** The pool and the client of `pg` give no codes. */
const AWAY_MESSAGE =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client (was closed|has encountered a connection error)/;
