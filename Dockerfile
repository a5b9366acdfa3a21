# One image for the api and the worker; docker-compose.yml says which of them a container is.
FROM node:24-bookworm-slim

ENV NODE_ENV=production
WORKDIR /app

# `install` and not `ci`: it keeps to the lockfile all the same, and does not insist that the lockfile names the
# development tools of every platform, as npm 11's `ci` does.
# Without install scripts and optional packages: they bring a second Node 24 (for machines with an older one) and the
# embedded PostgreSQL, which only `npm start` uses. ONNX Runtime carries its libraries for every system; Linux stays.
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev --omit=optional --ignore-scripts --no-save \
  && npm cache clean --force \
  && rm -r node_modules/onnxruntime-node/bin/napi-v6/darwin node_modules/onnxruntime-node/bin/napi-v6/win32

COPY migrations ./migrations
COPY schema ./schema
COPY src ./src
COPY workers ./workers

# A named volume takes its owner from the folder that it covers.
RUN mkdir /artifacts /data && chown node:node /artifacts /data
ENV ARTIFACT_STORE=/artifacts DATA_DIR=/data
USER node

EXPOSE 4000
# The api's; a worker listens on no port, so its container switches this off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT ?? 4000}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]

# Node itself and not npm, which would keep the signal to stop from it. Migrations run at its start.
CMD ["node", "schema/server.ts"]
