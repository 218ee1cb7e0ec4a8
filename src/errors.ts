/** One thing that is wrong: `pointer` is a JSON Pointer as a URI fragment (RFC 6901 §6) into the part that `in` names. */
export interface Fault {
  in: 'body' | 'query' | 'path' | 'headers';
  pointer: string;
  detail: string;
}

/**
 * What a feature throws to refuse a request. Each class is one kind of refusal; only `http/problem.ts` knows which
 * status it becomes. `code` names the exact case for programs (the last part of the problem's `type`), the message
 * is for people, `faults` lists everything that is wrong.
 */
export abstract class Refusal extends Error {
  readonly code: string;
  readonly faults: readonly Fault[];

  constructor(code: string, message: string, faults: readonly Fault[] = []) {
    super(message);
    this.code = code;
    this.faults = faults;
  }
}

/** The request cannot be understood: broken syntax, an unreadable cursor, a parameter of the wrong form. */
export class Malformed extends Refusal {}

/** A well-formed request whose values break a rule. */
export class Invalid extends Refusal {}

/** Nobody who is known here asks. `challenge` is the answer's `WWW-Authenticate` (RFC 6750 §3). */
export class Unauthorized extends Refusal {
  readonly challenge: string;
  constructor(code: string, message: string, challenge: string) {
    super(code, message);
    this.challenge = challenge;
  }
}

/** Who asks may not do this. */
export class Forbidden extends Refusal {
  readonly challenge: string | undefined;
  constructor(code: string, message: string, challenge?: string) {
    super(code, message);
    this.challenge = challenge;
  }
}

/** What was named does not exist. */
export class NotFound extends Refusal {}

/** What was named was there, and is not kept any more. */
export class Gone extends Refusal {}

/** The request is fine, but the present state does not allow it. */
export class Conflict extends Refusal {}

/** A condition that the client set (`If-Match`, `If-None-Match`) does not hold. */
export class PreconditionFailed extends Refusal {}

/** The body is larger than the route takes. */
export class TooLarge extends Refusal {}

/** The body is in a form that this route does not read. */
export class UnsupportedMediaType extends Refusal {}

/** The client asks for more, or more often, than one client may. */
export class TooMany extends Refusal {}

/** The service cannot answer now and may later: it is stopping, or its database is away. */
export class Unavailable extends Refusal {}

/** Refused so that others can be served. Thousands may come: they are counted, and none is a fault that the log tells of. */
export class Shed extends Unavailable {}

/** The service cannot start. The message is the one line an operator reads. */
export class StartError extends Error {}

/** Something that a start needs cannot be had, and why. */
export function startError(what: string, cause: unknown): StartError {
  const why = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new StartError(`${what}: ${why}`, { cause });
}
