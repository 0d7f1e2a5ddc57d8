import type { History, Overview } from '../../../src/http/operator/contract.ts';
import type { TestContext } from '../../support/relay.ts';

/** What a page is told. */
export interface Told {
  readonly event: string;
  readonly data: History & Overview;
}

/** Follows the page's events, as a browser does, until the test ends. @returns the next one, at each call */
export async function followEvents(t: TestContext, url: string): Promise<() => Promise<Told>> {
  const ended = new AbortController();
  t.after(async () => ended.abort());
  const response = await fetch(`${url}/live`, { signal: ended.signal });
  if (response.status !== 200) throw new Error(`${response.status}`);
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return async () => {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end >= 0) {
        const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
        text = text.slice(end + 2);
        return { event, data: JSON.parse(data) };
      }
      const { done, value } = await reader.read();
      if (done) throw new Error('the stream ended');
      text += value;
    }
  };
}

/** The next overview that is as wanted. */
export async function overviewThat(
  next: () => Promise<Told>,
  isWanted: (overview: Overview) => boolean,
): Promise<Overview> {
  for (;;) {
    const { event, data } = await next();
    if (event === 'overview' && isWanted(data)) return data;
  }
}
