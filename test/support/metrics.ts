import type { TestRelay } from './relay.ts';

/** The metrics of a relay that was started with `httpPort`, by name and labels as they are written: `name{a="b"}`. */
export async function scrape({ host, config }: Pick<TestRelay, 'host' | 'config'>): Promise<Map<string, number>> {
  const response = await fetch(`http://${host}:${config.httpPort}/metrics`);
  const lines = (await response.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}
