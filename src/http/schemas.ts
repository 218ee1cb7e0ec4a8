import type { Static, TSchema, TUnsafe } from 'typebox';

/*
 * Schemas are JSON Schema as it is written, and TypeBox's `Static` reads their types from it. Its functions that write
 * such schemas are not used: loading them, 373 modules, cost each start 62 ms.
 */

/** A reference to a schema that `app.addSchema` knows by its `$id`: it becomes a named component of the API document. */
export function ref<T extends TSchema & { $id: string }>(schema: T) {
  return { $ref: `${schema.$id}#` } as unknown as TUnsafe<Static<T>>;
}

/** The number of a thing, as its database gives it. It has to fit a double, not the column: what is not there is a 404. */
export function idSchema(description: string, example: number) {
  return {
    type: 'integer',
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description,
    examples: [example],
  } as const;
}

/** A time in an answer. A `Date` until it is written: to `Static` it is unknown. */
export function timeSchema(description: string, example = '2026-01-15T09:30:00.000Z'): TSchema {
  return { type: 'string', format: 'date-time', description, examples: [example] };
}

/** Words that need no form of their own. */
export function textSchema(description: string, example: string) {
  return { type: 'string', description, examples: [example] } as const;
}

/** The parameters of a route that names one thing. */
export function idParams<T extends TSchema>(id: T) {
  return { type: 'object', required: ['id'], properties: { id } } as const;
}

/** Where a created thing is. */
export function locationHeader(example: string) {
  return {
    Location: {
      type: 'string',
      format: 'uri-reference',
      required: true,
      description: 'where it is (RFC 9110 §10.2.2)',
      examples: [example],
    },
  } as const;
}
