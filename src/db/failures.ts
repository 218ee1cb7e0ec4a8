/**
 * Failures of the database that are nobody's mistake. `away`: it cannot be reached, is going or coming, or has no room;
 * whatever else is sent now fails too. `locked`: others held for too long what this statement needs. `deadlock`: it was
 * the one chosen to give way. The last two were not carried out.
 */
export function databaseFailure(error: unknown): 'away' | 'locked' | 'deadlock' | undefined {
  for (const at of causes(error)) {
    const code = 'code' in at ? String(at.code) : '';
    if (code === '55P03') return 'locked';
    if (code === '40P01') return 'deadlock';
    if (AWAY.test(code) || AWAY_MESSAGE.test(at.message)) return 'away';
  }
  return undefined;
}

/** Something is not in the database that is always there. */
export class Damaged extends Error {}

/** Whether the database was found to be damaged. Of the search index SQLite says so in words only. */
export function isDamage(error: unknown): boolean {
  return causes(error).some((one) => {
    if (one instanceof Damaged || /^vtable constructor failed/.test(one.message)) return true;
    return 'code' in one && /^SQLITE_(CORRUPT|NOTADB)/.test(String(one.code));
  });
}

/** Why a start has failed, if it is for the database: its own words, without the statement and the values in it. */
export function whyNoStart(error: unknown): string | undefined {
  if (databaseFailure(error) === undefined && !isDamage(error)) return undefined;
  return `the database cannot be used: ${causes(error).at(-1)?.message}`;
}

function causes(error: unknown): Error[] {
  return error instanceof Error ? [error, ...causes(error.cause)] : [];
}

/** SQLSTATE classes 08 (connection), 53 (resources), 57P (shutdown), 57014 (cancelled); sockets; a full SQLite disk. */
const AWAY = /^(08...|53...|57P0.|57014|E[A-Z]+|SQLITE_(FULL|BUSY|IOERR|CANTOPEN|READONLY).*)$/;

/** The pool and the client of `pg` give no codes. */
const AWAY_MESSAGE =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client (was closed|has encountered a connection error)/;
