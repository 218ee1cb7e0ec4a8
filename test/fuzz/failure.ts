import type { Verdict } from './judge.ts';
import type { Answer, Sent } from './memory.ts';

/** What was sent when something was not as it must be, and what was thought of it. */
export class Failure extends Error {
  readonly sent: Sent[];

  constructor(sent: Sent[], error: unknown, verdict?: Verdict, answer?: Answer) {
    const judged = verdict && `\n  the judge says ${verdict.valid} (${verdict.reason})`;
    const answered = answer && `, the answer was ${answer.status} ${answer.text.slice(0, 500)}`;
    super(`${error instanceof Error ? error.message : error}${judged ?? ''}${answered ?? ''}`);
    this.sent = sent;
  }
}
