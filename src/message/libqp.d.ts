declare module 'libqp' {
  /** Decodes quoted-printable text whose characters stand for bytes. */
  export function decode(text: string): Buffer;
  const libqp: { readonly decode: typeof decode };
  export default libqp;
}
