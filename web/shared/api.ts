/** Why a request failed, in the words of the server. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Asks the server that the page is from. @throws ApiError where it refuses; TypeError where it cannot be reached */
export async function ask<T>(path: string, init: RequestInit & { readonly json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const body =
    json === undefined ? {} : { body: JSON.stringify(json), headers: { 'content-type': 'application/json' } };
  const response = await fetch(path, { ...rest, ...body });
  if (response.status === 401) location.assign('/login');
  if (!response.ok) throw new ApiError(response.status, await reasonOf(response));
  const isJson = response.headers.get('content-type')?.includes('json');
  return (isJson ? response.json() : response.text()) as Promise<T>;
}

async function reasonOf(response: Response): Promise<string> {
  const said = await response.text();
  try {
    return (JSON.parse(said) as { error?: string }).error ?? said;
  } catch {
    return said || `the server answered ${response.status}`;
  }
}

/** How the stream of what happens stands. */
export type LiveState = 'connecting' | 'live' | 'lost';

export interface LiveListener {
  readonly onState: (state: LiveState) => void;
  /** By the name of the event; what it carries is JSON. */
  readonly on: Readonly<Record<string, (data: unknown) => void>>;
}

/** Follows server-sent events; the browser itself connects again where the connection is lost. @returns ends it */
export function follow(path: string, { onState, on }: LiveListener): () => void {
  const source = new EventSource(path);
  source.onopen = () => onState('live');
  source.onerror = () => onState('lost');
  for (const [name, listener] of Object.entries(on)) {
    source.addEventListener(name, event => listener(JSON.parse((event as MessageEvent<string>).data)));
  }
  return () => source.close();
}
