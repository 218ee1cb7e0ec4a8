# syntax=docker/dockerfile:1
# The image has what runs and nothing else: no npm, no compiler, no tests. Node runs the sources as they are.

FROM node:24-slim AS packages
WORKDIR /muster
COPY package.json package-lock.json ./
# The image has a Node of its own, so the one among the optional packages stays out. No install script is needed.
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim
# npm, npx and corepack are of no use at run time, and each is something to be patched.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* \
  && mkdir /data && chown node:node /data && chmod 700 /data
WORKDIR /muster
# Owned by root: the service cannot change what it runs.
COPY --from=packages /muster/node_modules node_modules
COPY package.json LICENSE ./
COPY migrations migrations
COPY src src
USER node
ENV NODE_ENV=production \
  HOST=0.0.0.0 \
  PORT=3000 \
  DATABASE_URL=sqlite:/data/muster.db
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
# Every check in a second; Node itself asks, because the image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then(({ status }) => process.exit(status === 200 ? 0 : 1), () => process.exit(1))"]
# The same flags as `npm start`. Node is process 1 and hears SIGTERM itself.
ENTRYPOINT ["node", "--preserve-symlinks", "--min-semi-space-size=8", "--max-semi-space-size=8", "--heap-growing-percent=50"]
CMD ["src/server.js"]
