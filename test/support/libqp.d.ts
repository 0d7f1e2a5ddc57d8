declare module 'libqp' {
  /** Decodes quoted-printable text whose characters stand for bytes. */
  export function decode(text: string): Buffer;
  /** Encodes bytes as quoted-printable, line breaks left as they are; lines are not broken yet. */
  export function encode(bytes: Buffer): string;
  /** Breaks the lines of a quoted-printable text, and hides white space at their ends. */
  export function wrap(text: string, lineLength?: number): string;
  const libqp: { readonly decode: typeof decode; readonly encode: typeof encode; readonly wrap: typeof wrap };
  export default libqp;
}
