import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify';
import plugin from 'fastify-plugin';
import { StartError } from '../errors.ts';
import { type Access, noKey, requireScope, SCOPES, type Scope } from '../http/access.ts';
import { type JwtSettings, tokensOf } from './jwt.ts';
import { Keyring } from './keyring.ts';
import { KEYS } from './keys.ts';
import { foreignness, isLoopback } from './open-house.ts';

interface Options {
  host: string;
  jwt: JwtSettings | undefined;
}

/** How often it is looked whether those who have an answer open would still be let in. */
const LOOK_MS = 2000;

/** Who may do what: before anything else of a request is read. */
export default plugin(
  async (app: FastifyInstance, { host, jwt }: Options) => {
    const keyring = new Keyring(app.reader, (id) => {
      const note = app.write((tx) => {
        tx.changed();
        return tx.execute('update api_keys set last_used_at = ? where id = ?', [new Date(), id]);
      });
      note.catch((err) => app.log.warn({ err }, 'when a key was last used could not be written down'));
    });
    app.bell.on(KEYS, () => keyring.forget());
    const open: Access = {
      actor: null,
      may: () => true,
      stillHolds: async () => !(await keyring.isThereAny()),
    };
    const checkToken = jwt && tokensOf(jwt);

    const openAccess = (request: FastifyRequest, isThereAny: boolean): Access => {
      if (checkToken !== undefined || isThereAny || !isLoopback(host)) throw noKey();
      const refusal = foreignness(request);
      if (refusal !== undefined) throw refusal;
      return open;
    };
    const accessOf = (request: FastifyRequest): Access | Promise<Access> => {
      const { authorization } = request.headers;
      if (authorization === undefined) {
        const isThereAny = keyring.isThereAny();
        if (typeof isThereAny === 'boolean') return openAccess(request, isThereAny);
        return isThereAny.then((is) => openAccess(request, is));
      }
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
      if (token === undefined) throw noKey();
      return checkToken === undefined || token.startsWith('mk_') ? keyring.check(token) : checkToken(token);
    };

    app.addHook('onRoute', (route) => {
      const { security = [] } = route.schema ?? {};
      if (security.length === 0) return; // for anybody; one that says nothing at all stops the start
      const [scope] = (security[0]?.bearer ?? []) as Scope[];
      if (scope === undefined) throw new Error(`${route.url} names no scope`);
      const admit = (request: FastifyRequest, access: Access) => {
        request.access = access;
        requireScope(request, scope);
      };
      const guard: onRequestHookHandler = (request, _reply, done) => {
        try {
          const access = accessOf(request);
          if (access instanceof Promise) {
            access.then((one) => admit(request, one)).then(() => done(), done);
          } else {
            admit(request, access);
            done();
          }
        } catch (error) {
          done(error as Error);
        }
      };
      route.onRequest = [guard, ...[route.onRequest ?? []].flat()];
    });

    app.addHook('onReady', async () => {
      if (jwt !== undefined || (await keyring.isThereAny())) return;
      if (!isLoopback(host)) {
        throw new StartError(
          `HOST=${host} can be reached from elsewhere, and there is no key yet: make one with ` +
            `\`npm run muster -- keys create --name admin --scopes ${SCOPES.join(',')}\`, or set JWT_ISSUER and JWT_AUDIENCE`,
        );
      }
      app.log.info('There is no key: whoever can reach this address on this machine may do everything');
    });

    const look = setInterval(() => {
      for (const { request, close } of app.openAnswers()) {
        request.access?.stillHolds().then(
          (holds) => holds || close(),
          () => {}, // the database is away: that is not the key's fault
        );
      }
    }, LOOK_MS);
    app.addHook('onClose', async () => clearInterval(look));
  },
  { name: 'keys', dependencies: ['db', 'access', 'open'] },
);
