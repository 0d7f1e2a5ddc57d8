import { API_VERSION, KINDS, publishedSchema } from '../kinds/kinds.ts';

export interface SchemaFile {
  /** As kubeconform looks for it: `smtpcredential_v1alpha1.json`. */
  readonly name: string;
  readonly content: string;
}

/** The published schemas of all kinds. */
export function renderSchemas(): SchemaFile[] {
  return KINDS.map(kind => {
    const name = `${kind.toLowerCase()}_${API_VERSION}.json`;
    return { name, content: `${JSON.stringify(publishedSchema(kind), null, 2)}\n` };
  });
}
