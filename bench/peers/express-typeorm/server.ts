import 'reflect-metadata';
import { Ajv } from 'ajv';
import express, { type NextFunction, type Request, type Response } from 'express';
import { DataSource } from 'typeorm';
import { newUserSchema, userPatchSchema } from '../api.ts';
import { environment } from '../environment.ts';
import { checkDurable, dataSourceOptions } from '../typeorm/data-source.ts';
import { User } from '../typeorm/user.entity.ts';
import { Users } from '../typeorm/users.ts';

/** Express 5 and TypeORM, as TypeORM's example with Express has it: one data source, one repository. */
const dataSource = await new DataSource(dataSourceOptions).initialize();
await checkDurable(dataSource);
const users = new Users(dataSource.getRepository(User));

const ajv = new Ajv();
const isNewUser = ajv.compile(newUserSchema);
const isUserPatch = ajv.compile(userPatchSchema);

const app = express();
app.use(express.json());

app.get('/users/:id', async (request, response) => {
  sendUser(response, await users.find(Number(request.params.id)));
});

app.get('/users', async (request, response) => {
  const { limit = 100, after = 0 } = request.query;
  response.json(await users.list(Number(limit), Number(after)));
});

app.post('/users', async (request, response) => {
  if (!isNewUser(request.body)) return void response.status(422).json({ errors: isNewUser.errors });
  const user = await users.create(request.body as never);
  if (user === undefined) return void response.status(409).json({ title: 'Email taken' });
  response.status(201).location(`/users/${user.id}`);
  sendUser(response, user);
});

app.patch('/users/:id', async (request, response) => {
  if (!isUserPatch(request.body)) return void response.status(422).json({ errors: isUserPatch.errors });
  const { attributes = {} } = request.body as { attributes?: Record<string, unknown> };
  sendUser(response, await users.patch(Number(request.params.id), attributes));
});

app.use((error: Error & { status?: number }, _request: Request, response: Response, _next: NextFunction) => {
  response.status(error.status ?? 500).json({ title: error.message });
});

app.listen(environment.port, environment.host);

function sendUser(response: Response, user: { version: number } | null): void {
  if (user === null) return void response.status(404).json({ title: 'Not found' });
  response.set('etag', `"${user.version}"`).json(user);
}
