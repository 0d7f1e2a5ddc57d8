import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { answer } from './listener.ts';

/** What `web/` was built to, by name: `inbox.html`, and beside it scripts and styles whose names change with their content. */
export type PageFiles = ReadonlyMap<string, Uint8Array>;

/** Where pages come from: the image has them as files, a checkout builds them when they are wanted. */
export type LoadPages = () => Promise<PageFiles>;

const BUILT = fileURLToPath(new URL('../../web/built/', import.meta.url));
const NOT_BUILT = 'The pages are not built: run "node web/build.ts" in the folder of the project.\n';

/** Reads the pages that `web/build.ts` wrote; none where it did not. */
export async function readBuiltPages(): Promise<PageFiles> {
  const names = await readdir(BUILT).catch(() => []);
  return new Map(await Promise.all(names.map(async name => [name, await readFile(join(BUILT, name))] as const)));
}

/** The least that a page needs: its own files, and nothing of anybody else, be it written into it or asked for by it. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Header fields of every answer of a listener with pages: nobody else may embed, read or guess what it is. */
export const GUARDING_FIELDS = {
  'x-content-type-options': 'nosniff',
  // Without any, browsers would say of a form that it comes from nowhere.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-dns-prefetch-control': 'off',
} as const;

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** A file as it is answered. */
interface Served {
  readonly type: string;
  readonly body: Buffer;
  /** The same by `Accept-Encoding`, the best one first. */
  readonly encoded: readonly (readonly [encoding: string, body: Buffer])[];
}

/** Serves pages and their files out of memory, compressed once. */
export class Pages {
  readonly #files: ReadonlyMap<string, Served>;

  private constructor(files: ReadonlyMap<string, Served>) {
    this.#files = files;
  }

  static async load(load: LoadPages): Promise<Pages> {
    const files = [...(await load())].filter(([name]) => TYPES[extensionOf(name)] !== undefined);
    const ready = await Promise.all(files.map(async ([name, body]) => [name, await served(name, body)] as const));
    return new Pages(new Map(ready));
  }

  /** Adds `/assets/…`, where pages find their files. */
  addAssets(server: FastifyInstance): void {
    server.get<{ Params: { name: string } }>('/assets/:name', { schema: { hide: true } }, (request, reply) =>
      this.asset(request.params.name, request, reply),
    );
  }

  /** Answers with a file of a page. @param name as the page has it */
  asset(name: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const file = name.endsWith('.html') ? undefined : this.#files.get(name);
    if (!file) return answer(reply, 404);
    return send(request, reply.header('cache-control', 'public, max-age=31536000, immutable'), file);
  }

  /** Answers with a page. @param name of its folder in `web/` */
  show(name: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const file = this.#files.get(`${name}.html`);
    if (!file) return reply.code(503).type('text/plain; charset=utf-8').send(NOT_BUILT);
    return send(
      request,
      reply.header('cache-control', 'no-store').header('content-security-policy', PAGE_POLICY),
      file,
    );
  }
}

async function served(name: string, bytes: Uint8Array): Promise<Served> {
  const body = Buffer.from(bytes);
  const encoded = [
    ['br', await promisify(brotliCompress)(body)],
    ['gzip', await promisify(gzip)(body, { level: 9 })],
  ] as const;
  return { type: TYPES[extensionOf(name)] as string, body, encoded };
}

function send(request: FastifyRequest, reply: FastifyReply, { type, body, encoded }: Served): FastifyReply {
  const accepted = String(request.headers['accept-encoding'] ?? '');
  const [encoding, bytes] = encoded.find(([name]) => new RegExp(`\\b${name}\\b`).test(accepted)) ?? [null, body];
  if (encoding !== null) reply.header('content-encoding', encoding);
  return reply.header('vary', 'accept-encoding').type(type).send(bytes);
}

function extensionOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
