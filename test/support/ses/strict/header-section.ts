/** One field of a header section as it stands there. */
export interface Field {
  readonly name: string;
  /** Unfolded, trimmed; bytes as Latin-1 characters. */
  readonly value: string;
}

export interface Section {
  readonly fields: readonly Field[];
  /** What SES says of the first line that is no field; null where there is none. */
  readonly fault: string | null;
  /** Where the body begins; null where no empty line ends the section. */
  readonly bodyAt: number | null;
}

const NAME = /^[\x21-\x39\x3b-\x7e]+$/;

/** Reads the header section that begins at `start`; a bare LF ends a line as CRLF does. */
export function readSection(raw: Buffer, start = 0, end = raw.length): Section {
  const lines: string[] = [];
  let position = start;
  while (position < end) {
    const lineFeed = raw.indexOf(0x0a, position);
    const next = lineFeed === -1 || lineFeed >= end ? end : lineFeed + 1;
    const line = raw.toString('latin1', position, next).replace(/\r?\n$/, '');
    if (line === '') return sectionOf(lines, next);
    lines.push(line);
    position = next;
  }
  return sectionOf(lines, null);
}

function sectionOf(lines: readonly string[], bodyAt: number | null): Section {
  const unfolded: string[] = [];
  for (const line of lines) {
    if (/^[ \t]/.test(line) && unfolded.length > 0) unfolded.push(`${unfolded.pop()}${line}`);
    else unfolded.push(line);
  }
  const fields = unfolded.map(fieldOf);
  const bad = fields.findIndex(({ name }) => !NAME.test(name));
  return { fields, fault: bad === -1 ? null : nameFault(fields[bad]?.name ?? ''), bodyAt };
}

/** RFC 822 section 3.1.4 lets white space stand between a name and its colon. */
function fieldOf(line: string): Field {
  const colon = line.indexOf(':');
  const name = (colon === -1 ? '' : line.slice(0, colon)).trimEnd();
  return { name, value: line.slice(colon + 1).trim() };
}

function nameFault(name: string): string {
  return name === '' ? 'Empty header names are illegal.' : `Illegal header '${name}'.`;
}

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(field => field.name.toLowerCase() === name).map(({ value }) => value);
}
