import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';

/** Longer would outlast what proxies allow. */
const LONGEST_S = 60;

/** The request header of a route that can wait for what it answers. */
export const PreferHeaders = Type.Object({
  prefer: Type.Optional(
    Type.String({
      description:
        '`wait=SECONDS`, 0–60: answer when it has ended, or then (RFC 7240 §4.3); other preferences are ignored',
      examples: ['wait=10'],
    }),
  ),
});

export const preferenceHeader = {
  'Preference-Applied': {
    type: 'string',
    description: 'the preference that was followed (RFC 7240 §3)',
    examples: ['wait=10'],
  },
} as const;

/**
 * How many seconds the client is ready to wait, at most 60, or undefined. A preference that cannot be read is ignored
 * (RFC 7240 §2); of two the first counts.
 */
export function readWait({ headers }: FastifyRequest): number | undefined {
  const { prefer } = headers;
  if (typeof prefer !== 'string') return undefined;
  const [, seconds] = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[;,]|$)/i.exec(prefer) ?? [];
  return seconds === undefined ? undefined : Math.min(Number(seconds), LONGEST_S);
}
