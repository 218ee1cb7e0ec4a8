import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { NotFound } from '../errors.ts';

/** Only what the page needs, and only from here. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Addresses are relative, so that the page also works below a prefix that a proxy takes off. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Muster: API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

/** BaseLayout: without a bar that asks for the URL of another document. */
const START = `SwaggerUIBundle({
  dom_id: '#page',
  url: 'openapi.json',
  layout: 'BaseLayout',
  docExpansion: 'list',
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
`;

/** What the page asks for, and of what type it is. */
const FILES = new Map([
  ['swagger-ui.css', 'text/css'],
  ['swagger-ui-bundle.js', 'text/javascript'],
  ['favicon-32x32.png', 'image/png'],
]);

/**
 * A page to read and try the API at `/docs`. It asks nothing of any other machine. The files of Swagger UI are read
 * when somebody asks for them: the plugin that they come with costs each start 100 ms.
 */
export default plugin(
  async (app: FastifyInstance) => {
    const hidden = { schema: { hide: true } };

    app.get('/docs', hidden, async (_request, reply) =>
      reply.header('content-security-policy', POLICY).type('text/html').send(PAGE),
    );

    app.get('/docs/start.js', hidden, async (_request, reply) => reply.type('text/javascript').send(START));

    app.get<{ Params: { file: string } }>('/docs/:file', hidden, async (request, reply) => {
      const { file } = request.params;
      const type = FILES.get(file);
      if (type === undefined) throw new NotFound('no-such-file', 'The page has no such file.');
      const path = createRequire(import.meta.url).resolve(`@fastify/swagger-ui/static/${file}`);
      return reply
        .type(type)
        .header('cache-control', 'max-age=3600')
        .send(await readFile(path));
    });
  },
  { name: 'docs' },
);
