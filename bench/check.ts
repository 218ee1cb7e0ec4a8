import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict';
import type { Server } from './servers.ts';

/** How many users a server has more after `checkServer`. */
export const CREATED_BY_CHECK = 1;

/** Every server is asked for the same before it is measured: what is fast because it is wrong is found here. */
export async function checkServer(server: Server, port: number): Promise<void> {
  try {
    if (!server.isFloor) await check(`http://127.0.0.1:${port}`);
  } catch (error) {
    throw new Error(
      `${server.name} does not answer as agreed: ${error instanceof Error ? error.message : error}`,
      {
        cause: error,
      },
    );
  }
}

interface Body {
  id: number;
  email: string;
  attributes: Record<string, unknown>;
  createdAt: string;
  updatedAt: string;
}

const FIELDS = ['id', 'name', 'email', 'attributes', 'version', 'createdAt', 'updatedAt'];

async function check(origin: string): Promise<void> {
  const ask = async <T = Body>(method: string, path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' };
    const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(origin + path, init);
    return { status: response.status, headers: response.headers, body: (await response.json()) as T };
  };

  const one = await ask('GET', '/users/7');
  strictEqual(one.status, 200);
  strictEqual(one.headers.get('etag'), '"1"');
  deepStrictEqual(Object.keys(one.body).sort(), FIELDS.toSorted());
  match(one.body.createdAt, /^2025-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
  deepStrictEqual(Object.keys(one.body.attributes), ['team', 'desk', 'remote']);
  strictEqual((await ask('GET', '/users/999999999')).status, 404);

  const list = await ask<Body[]>('GET', '/users?limit=100');
  strictEqual(list.status, 200);
  deepStrictEqual(
    list.body.map(({ id }) => id),
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
  deepStrictEqual(list.body[6], one.body);

  const email = 'Check.Me@example.com';
  const created = await ask('POST', '/users', { name: 'Check', email, attributes: { a: 1, b: { c: 2 } } });
  strictEqual(created.status, 201);
  const { id } = created.body;
  strictEqual(created.headers.get('location'), `/users/${id}`);
  strictEqual(created.headers.get('etag'), '"1"');
  strictEqual(created.body.email, email);
  strictEqual((await ask('POST', '/users', { name: 'Check', email: email.toLowerCase() })).status, 409);
  strictEqual((await ask('POST', '/users', { name: '', email: 'x@example.com' })).status, 422);
  strictEqual((await ask('POST', '/users', { name: 'X', email: 'nobody' })).status, 422);
  strictEqual((await ask('POST', '/users', { name: 'x'.repeat(51), email: 'x@example.com' })).status, 422);

  const patched = await ask('PATCH', `/users/${id}`, { attributes: { a: null, b: { d: 3 } } });
  strictEqual(patched.status, 200);
  strictEqual(patched.headers.get('etag'), '"2"');
  deepStrictEqual(patched.body.attributes, { b: { c: 2, d: 3 } });
  ok(patched.body.updatedAt >= created.body.updatedAt);
  const again = await ask('GET', `/users/${id}`);
  deepStrictEqual(again.body, patched.body);
  strictEqual((await ask('PATCH', '/users/999999999', { attributes: {} })).status, 404);
}
