import type { UserValues } from './turn.ts';

export interface ChangeValues {
  type: string;
  userId: number;
  version: number;
  state: object;
  changedFields: string[];
  actor: string | null;
  at: Date;
}

/** The change that says that these users were created. */
export function changesOf(
  users: readonly UserValues[],
  ids: readonly (number | undefined)[],
): ChangeValues[] {
  return users.map(({ name, email, attributes, version, createdAt, updatedAt }, n) => {
    const id = ids[n];
    if (id === undefined) throw new Error(`nothing was inserted for ${email}`);
    return {
      type: 'user.created',
      userId: id,
      version,
      state: { id, name, email, attributes, version, createdAt, updatedAt },
      changedFields: ['name', 'email', 'attributes'],
      actor: null,
      at: createdAt,
    };
  });
}
