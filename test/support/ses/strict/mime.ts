import { type ContentField, fileNameOf, readContentField } from './content-fields.ts';
import { type Field, readSection, valuesOf } from './header-section.ts';

/** SES developer guide, "Amazon SES unsupported attachment types": names of files that end so. */
const UNSUPPORTED = new Set(
  `ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse ksh lib lnk mad maf
  mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msh1xml msh2xml msi msp mst ops pcd
  pif plg prf prg reg scf scr sct shb shs sys ps1 ps1xml ps2 ps2xml psc1 psc2 tmp url vb vbe vbs vps vsmacros vss vst vsw
  vxd ws wsc wsf wsh xnk`.split(/\s+/),
);
/** Deeper ones are not looked into, as the double is not to be stalled either. */
const MAX_DEPTH = 100;

interface Part {
  readonly raw: Buffer;
  readonly fields: readonly Field[];
  /** Of the body. */
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

/**
 * "Each part of a multipart MIME message must be formatted properly. Attachments must be in a file format that the Amazon SES
 * supports" (SES API v2 reference, "RawMessage").
 */
export function mimeFault(part: Part): string | null {
  const type = contentField(part.fields, 'content-type') ?? readContentField('text/plain', true);
  const disposition = contentField(part.fields, 'content-disposition');
  const fault = type.fault ?? disposition?.fault ?? fileFault(type, disposition);
  if (fault !== null || !type.value.startsWith('multipart/') || part.depth >= MAX_DEPTH) return fault;
  const boundary = type.parameters.get('boundary');
  if (!boundary) return 'Missing start boundary';
  return partsFault(part, boundary);
}

function contentField(fields: readonly Field[], name: string): ContentField | null {
  const [value] = valuesOf(fields, name);
  return value === undefined ? null : readContentField(value, name === 'content-type');
}

function fileFault(type: ContentField, disposition: ContentField | null): string | null {
  const names = [disposition && fileNameOf(disposition.parameters, 'filename'), fileNameOf(type.parameters, 'name')];
  const bad = names.find(name => name && UNSUPPORTED.has(/\.([^.]*)$/.exec(name.trimEnd())?.[1]?.toLowerCase() ?? ''));
  return bad ? `Illegal filename '${bad}'.` : null;
}

function partsFault({ raw, start, end, depth }: Part, boundary: string): string | null {
  const parts = partsOf(raw, start, end, boundary);
  if (parts.length === 0) return 'Missing start boundary';
  for (const { from, to } of parts) {
    const { fields, bodyAt } = readSection(raw, from, to);
    const fault = mimeFault({ raw, fields, start: bodyAt ?? to, end: to, depth: depth + 1 });
    if (fault !== null) return fault;
  }
  return null;
}

/** RFC 2046 section 5.1.1. A part ends where the next one begins, at the closing delimiter, or with the message. */
function partsOf(raw: Buffer, start: number, end: number, boundary: string): { from: number; to: number }[] {
  const delimiter = Buffer.from(`--${boundary}`, 'latin1');
  const parts: { from: number; to: number }[] = [];
  let from: number | null = null;
  for (let at = raw.indexOf(delimiter, start); at !== -1 && at < end; at = raw.indexOf(delimiter, at + 1)) {
    if (at !== start && raw[at - 1] !== 0x0a) continue;
    const lineFeed = raw.indexOf(0x0a, at);
    const after = lineFeed === -1 ? end : lineFeed + 1;
    const rest = raw.toString('latin1', at + delimiter.length, after).trim();
    if (rest !== '' && rest !== '--') continue;
    if (from !== null) parts.push({ from, to: at });
    if (rest === '--') return parts;
    from = after;
  }
  return from === null ? parts : [...parts, { from, to: end }];
}
