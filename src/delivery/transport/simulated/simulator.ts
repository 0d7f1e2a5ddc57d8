import { isSesSimulator, simulationOf } from '../../../message/addresses/simulator-address.ts';
import type { Claim } from '../../../store/delivery/claims.ts';
import type { Transport } from '../contract.ts';

/**
 * Those of a message's recipients whom this worker only plays, so that nothing may go out to them.
 *
 * @throws where the transport of the message cannot be known now
 */
export type Simulator = (claim: Claim, recipients: readonly string[]) => Promise<readonly string[]>;

export interface SimulatorDependencies {
  readonly isOn: () => boolean;
  readonly transportOf: (claim: Claim) => Promise<Pick<Transport, 'kind'>>;
}

/** All of a message in sandbox. SES plays its own simulator, where it is SES that gets the message. */
export function createSimulator({ isOn, transportOf }: SimulatorDependencies): Simulator {
  return async (claim, recipients) => {
    if (claim.message.sandbox) return recipients;
    const simulated = isOn() ? recipients.filter(address => simulationOf(address) !== null) : [];
    if (!simulated.some(isSesSimulator)) return simulated;
    const { kind } = await transportOf(claim);
    return kind === 'ses' ? simulated.filter(address => !isSesSimulator(address)) : simulated;
  };
}
