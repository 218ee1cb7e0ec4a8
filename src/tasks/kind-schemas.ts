import type { TaskKind } from './kinds.ts';

/** The schemas that inputs of these kinds may refer to. */
export function kindSchemas(_kinds: readonly TaskKind[]): { $id: string }[] {
  return [];
}
