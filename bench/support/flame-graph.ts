import { type CallFrame, type CpuProfile, fileOf, isWork } from './profile.ts';

/** A function with all that it called from here. */
interface Frame {
  readonly name: string;
  readonly kind: Kind;
  /** Microseconds, its callees' among them. */
  time: number;
  readonly callees: Map<string, Frame>;
}

/** Whose code it is. */
type Kind = 'ours' | 'packages' | 'node' | 'native';

const COLOURS: Readonly<Record<Kind, string>> = {
  ours: '#8fc1f0',
  packages: '#f2c879',
  node: '#c3d9a5',
  native: '#d0d3d8',
};
const LEGEND: Readonly<Record<Kind, string>> = {
  ours: 'src/',
  packages: 'packages',
  node: 'Node',
  native: 'native code, V8',
};

const WIDTH = 1200;
const ROW = 17;
const TOP = 48;
const LETTER = 6.2;
/** Shares of the whole that are not drawn, since nobody could read them. */
const LEAST = 0.002;
const DEEPEST = 24;

/**
 * A flame graph of one thread, the callers above what they call: an SVG without a script, whose frames tell their names and shares
 * where the pointer rests on them. Time in which the thread had nothing to do is left out.
 */
export function flameGraph(profile: CpuProfile, title: string): string {
  const root = treeOf(profile);
  const rows: string[] = [];
  let deepest = 0;
  const draw = (frame: Frame, x: number, depth: number): void => {
    const width = (frame.time / root.time) * WIDTH;
    if (frame.time < root.time * LEAST || depth > DEEPEST) return;
    deepest = Math.max(deepest, depth);
    rows.push(box(frame, x, TOP + depth * ROW, width, frame.time / root.time));
    let left = x;
    for (const callee of [...frame.callees.values()].sort((one, other) => other.time - one.time)) {
      draw(callee, left, depth + 1);
      left += (callee.time / root.time) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = TOP + (deepest + 1) * ROW + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="10.5" role="img">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="6" y="18" font-family="sans-serif" font-size="14" font-weight="bold">${escaped(title)}</text>
${legend()}
${rows.join('\n')}
</svg>
`;
}

function treeOf({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const own = new Map<number, number>();
  samples.forEach((id, index) => {
    // A sample's time runs until the next one.
    own.set(id, (own.get(id) ?? 0) + (timeDeltas[index + 1] ?? 0));
  });
  const byId = new Map(nodes.map(node => [node.id, node]));
  const root: Frame = { name: 'busy', kind: 'native', time: 0, callees: new Map() };
  const add = (id: number, parent: Frame): number => {
    const node = byId.get(id);
    if (!node || !isWork(node.callFrame)) return 0;
    const frame = calleeOf(parent, node.callFrame);
    let time = own.get(id) ?? 0;
    for (const child of node.children ?? []) time += add(child, frame);
    frame.time += time;
    return time;
  };
  for (const child of nodes[0]?.children ?? []) root.time += add(child, root);
  return root;
}

/** Calls of one function from one place are one frame. */
function calleeOf(parent: Frame, callFrame: CallFrame): Frame {
  const file = fileOf(callFrame);
  const name = `${callFrame.functionName || '(anonymous)'}${file === '' ? '' : ` ${shortened(file)}`}`;
  const there = parent.callees.get(name);
  if (there) return there;
  const made: Frame = { name, kind: kindOf(file), time: 0, callees: new Map() };
  parent.callees.set(name, made);
  return made;
}

function shortened(file: string): string {
  return file.replace(/^.*node_modules\//, '').replace(/^node:(?:internal\/)?/, 'node:');
}

function kindOf(file: string): Kind {
  if (file === '') return 'native';
  if (file.includes('node_modules/')) return 'packages';
  return file.startsWith('node:') ? 'node' : 'ours';
}

function box({ name, kind }: Frame, x: number, y: number, width: number, share: number): string {
  const letters = Math.floor((width - 4) / LETTER);
  const label = letters < 3 ? '' : name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
  const text = label && `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escaped(label)}</text>`;
  const rectangle = `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.1, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[kind]}"/>`;
  return `<g><title>${escaped(name)}: ${(share * 100).toFixed(1)} %</title>${rectangle}${text}</g>`;
}

function legend(): string {
  return Object.entries(LEGEND)
    .map(([kind, text], index) => {
      const x = 6 + index * 150;
      return `<rect x="${x}" y="28" width="12" height="12" fill="${COLOURS[kind as Kind]}"/><text x="${x + 17}" y="38">${text}</text>`;
    })
    .join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
