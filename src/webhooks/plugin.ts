import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Courier } from './courier.ts';
import { measureWebhooks } from './gauges.ts';

/** Webhooks are pushed forward from the moment the service is ready until it closes. */
export default plugin(
  async (app: FastifyInstance) => {
    const courier = new Courier(app);
    measureWebhooks(app);
    app.addHook('onReady', () => courier.start());
    app.addHook('preClose', async () => courier.stop());
  },
  { name: 'webhooks', dependencies: ['db', 'tasks'] },
);
