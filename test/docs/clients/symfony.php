<?php
// php symfony.php BLOCK: the address of the block, and one message by it.
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';

use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Email;

['MAILER_DSN' => $dsn] = parse_ini_file($argv[1], false, INI_SCANNER_RAW);
(new Mailer(Transport::fromDsn($dsn)))->send((new Email())
    ->from('hello@yourdomain.com')
    ->to('recipient@example.com')
    ->subject('Hello from Symfony')
    ->text('Sent via SMTP relay'));
