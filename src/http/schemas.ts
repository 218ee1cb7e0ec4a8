import type { Static, TSchema, TUnsafe } from 'typebox';

/*
 * Schemas are JSON Schema as it is written, and TypeBox's `Static` reads their types from it. Its functions that write
 * such schemas are not used: loading them, 373 modules, cost each start 62 ms.
 */

/** A reference to a schema that `app.addSchema` knows by its `$id`: it becomes a named component of the API document. */
export function ref<T extends TSchema & { $id: string }>(schema: T) {
  return { $ref: `${schema.$id}#` } as unknown as TUnsafe<Static<T>>;
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
