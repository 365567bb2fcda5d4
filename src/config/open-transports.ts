import { createTransport, type Transport, TransportTargetError } from '../delivery/index.js';
import { ConfigError } from './config-error.js';
import type { Config } from './config-types.js';

/** Where a target will not do, it is known before anything is opened, and by the name of its setting. */
export function openTransports(config: Pick<Config, 'mail' | 'sms'>): {
  readonly email: Transport;
  readonly sms: Transport;
} {
  const open = (name: string, spec: Config['mail']): Transport => {
    try {
      return createTransport(spec, { stdout: process.stdout });
    } catch (error) {
      if (!(error instanceof TransportTargetError)) throw error;
      const remedy = 'Name a regular file that this user may write';
      throw new ConfigError([{ name, wrong: error.message, remedy }]);
    }
  };
  return { email: open('MAIL_TRANSPORT', config.mail), sms: open('SMS_TRANSPORT', config.sms) };
}
