/** The API that every server in the benchmark answers, and the schemas by which the Fastify ones check and serialise. */
export interface User {
  id: number;
  name: string;
  email: string;
  attributes: Attributes;
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

export type Attributes = Record<string, unknown>;

export interface NewUser {
  name: string;
  email: string;
  attributes?: Attributes;
}

export interface UserPatch {
  attributes?: Attributes;
}

type Maybe<T> = T | undefined | Promise<T | undefined>;

/** What a peer writes for itself: the four works on its database. */
export interface Store {
  find(id: number): Maybe<User>;
  list(limit: number, after: number): User[] | Promise<User[]>;
  /** Undefined when the email is taken, whatever its letter case. */
  create(input: NewUser): Maybe<User>;
  /** Undefined when there is no such user. */
  patch(id: number, attributes: Attributes): Maybe<User>;
}

/** The columns that Muster's table has for comparing and searching, as simply as a peer would make them. */
export function keysOf(name: string, email: string) {
  const [nameKey, emailKey] = [name.toLowerCase(), email.toLowerCase()];
  return { nameKey, emailKey, searchKey: `${nameKey}\n${emailKey}` };
}

/** RFC 7396 on an object. */
export function mergePatch(target: Attributes, patch: Attributes): Attributes {
  const merged = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else
      merged[name] = isObject(value) ? mergePatch(isObject(merged[name]) ? merged[name] : {}, value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is Attributes {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const name = { type: 'string', minLength: 1, maxLength: 50 };
const email = { type: 'string', minLength: 3, maxLength: 100, pattern: '^[^@\\s]+@[^@\\s]+$' };
const attributes = { type: 'object', additionalProperties: true };
const dateTime = { type: 'string', format: 'date-time' };

export const newUserSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'email'],
  properties: { name, email, attributes },
};

export const userPatchSchema = {
  type: 'object',
  additionalProperties: false,
  properties: { attributes },
};

export const userSchema = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    name,
    email,
    attributes,
    version: { type: 'integer' },
    createdAt: dateTime,
    updatedAt: dateTime,
  },
};

export const paramsSchema = { type: 'object', properties: { id: { type: 'integer', minimum: 1 } } };

export const listSchema = {
  type: 'object',
  properties: {
    limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
    after: { type: 'integer', minimum: 0, default: 0 },
  },
};
