import type { Details } from '../../../src/inbox/contract.ts';

/** Header fields as the client wrote them, decoded. */
export function Headers({ fields }: { readonly fields: Details['headers'] }) {
  if (fields.length === 0) return <p class="nothing">The message is not kept as it was received any more.</p>;
  return (
    <table class="headers">
      <thead class="unseen">
        <tr>
          <th>Field</th>
          <th>Value</th>
        </tr>
      </thead>
      <tbody>
        {fields.map(({ name, value }, index) => (
          <tr key={index}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
