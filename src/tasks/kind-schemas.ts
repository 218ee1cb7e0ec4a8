import type { TSchema, TUnsafe } from 'typebox';
import type { TaskKind } from './kinds.ts';
import type { EnqueueOptions } from './queue.ts';

/** The body of `POST /tasks`, whatever its kind. */
interface NewTaskBody extends Pick<EnqueueOptions, 'priority' | 'maxAttempts' | 'dedupeKey'> {
  kind: string;
  input?: unknown;
  runAt?: string;
}

/** Tasks within tasks may be many, and all of them wrong: the first is told. */
export const NEW_TASK = { $ref: 'NewTask#', 'x-firstFault': true } as unknown as TUnsafe<NewTaskBody>;
/** A task that another one is to run: what `gather` takes. */
export const CHILD_TASK = { $ref: 'ChildTask#' } as const;

const options = {
  runAt: {
    type: 'string',
    format: 'date-time',
    description: 'not before this time (RFC 3339)',
    examples: ['2026-01-15T09:30:00Z'],
  },
  priority: {
    type: 'integer',
    minimum: -1000,
    maximum: 1000,
    description: 'higher goes first',
    examples: [0],
  },
  maxAttempts: {
    type: 'integer',
    minimum: 1,
    maximum: 1000,
    description: 'how often it may fail; each kind has its own default',
    examples: [5],
  },
  dedupeKey: {
    type: 'string',
    minLength: 1,
    maxLength: 255,
    description:
      'while a task of this kind with this key is not finished, it is the answer, and no other begins',
    examples: ['nightly'],
  },
} as const;

/**
 * The named schemas that the kinds make: the input of each, and two unions of all kinds, told apart by `kind`. Ajv's
 * discriminator then reports only what is wrong with the kind that was meant; `x-tags` are the kinds, in the order of
 * `oneOf`, for the words of a refusal and the mapping in the API document.
 */
export function kindSchemas(kinds: readonly TaskKind[]): (TSchema & { $id: string })[] {
  return [
    ...kinds.map((kind) => ({
      description: `What \`${kind.kind}\` takes.`,
      examples: [exampleInput(kind)],
      ...kind.input,
      $id: `${pascal(kind)}Input`,
    })),
    ...kinds.map((kind) => taskSchema(kind, 'New', options)),
    ...kinds.map((kind) => taskSchema(kind, 'Child', {})),
    union(kinds, 'New', 'A task to be enqueued.'),
    union(kinds, 'Child', 'A task that another one runs.'),
  ];
}

function taskSchema(kind: TaskKind, prefix: string, more: object) {
  const { required: needed = [] }: Shape = kind.input;
  const required = needed.length > 0 ? ['kind', 'input'] : ['kind'];
  return {
    $id: `${prefix}${pascal(kind)}Task`,
    type: 'object',
    additionalProperties: false,
    required,
    description: kind.description,
    properties: {
      kind: { type: 'string', const: kind.kind },
      input: { $ref: `${pascal(kind)}Input#` },
      ...more,
    },
    examples: [exampleTask(kind)],
  };
}

function union(kinds: readonly TaskKind[], prefix: string, description: string) {
  return {
    $id: `${prefix}Task`,
    type: 'object',
    description,
    required: ['kind'],
    discriminator: { propertyName: 'kind' },
    'x-tags': kinds.map(({ kind }) => kind),
    oneOf: kinds.map((kind) => ({ $ref: `${prefix}${pascal(kind)}Task#` })),
    examples: kinds.slice(0, 1).map(exampleTask),
  };
}

/** What is asked here of a schema. */
interface Shape {
  required?: string[];
  examples?: unknown[];
  properties?: Record<string, Shape>;
}

function exampleTask(kind: TaskKind) {
  return { kind: kind.kind, input: exampleInput(kind) };
}

function exampleInput({ input }: TaskKind): unknown {
  const { examples: [whole] = [], properties = {} }: Shape = input;
  if (whole !== undefined) return whole;
  const named = Object.entries(properties).filter(([, { examples = [] }]) => examples.length > 0);
  return Object.fromEntries(named.map(([name, { examples = [] }]) => [name, examples[0]]));
}

/** `import-users` becomes `ImportUsers`. */
function pascal({ kind }: TaskKind): string {
  return kind.replace(/(?:^|[^a-z]+)([a-z])/gi, (_all, letter: string) => letter.toUpperCase());
}
