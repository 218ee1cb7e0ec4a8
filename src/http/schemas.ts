import { type Static, type TSchema, Type } from 'typebox';

/** A reference to a schema that `app.addSchema` knows by its `$id`: it becomes a named component of the API document. */
export function ref<T extends TSchema & { $id?: string }>(schema: T) {
  if (schema.$id === undefined) throw new Error('a schema that is referred to needs an $id');
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
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
