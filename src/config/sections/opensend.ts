/*
 * What OpenSend does itself in the pipeline `opensend`, so that settings about it mean nothing there.
 */

export const OPENSEND_DELIVERS = "OpenSend's own worker delivers, by settings of its own.";
export const OPENSEND_TRACKS = 'OpenSend tracks opens and clicks itself, as its dashboard says.';
export const OPENSEND_HEARS = 'OpenSend hears of bounces and complaints from SES itself.';
export const OPENSEND_TELLS = "OpenSend's dashboard manages webhooks, and its worker delivers them.";
export const OPENSEND_KEEPS = 'OpenSend decides itself how long messages, events and deliveries are kept.';
export const OPENSEND_SIMULATES =
  'OpenSend plays its test addresses itself, where all recipients of a message are such.';
