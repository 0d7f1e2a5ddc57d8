<?php
// php laravel.php BLOCK: sends by Symfony Mailer, as MailManager of Laravel 11 has it made of what config/mail.php reads from .env.
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';

use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport\Dsn;
use Symfony\Component\Mailer\Transport\Smtp\EsmtpTransportFactory;
use Symfony\Component\Mime\Email;

$settings = parse_ini_file($argv[1], false, INI_SCANNER_RAW);
$dsn = new Dsn($settings['MAIL_SCHEME'], $settings['MAIL_HOST'], $settings['MAIL_USERNAME'], $settings['MAIL_PASSWORD'], (int) $settings['MAIL_PORT']);
$mailer = new Mailer((new EsmtpTransportFactory())->create($dsn));
$mailer->send((new Email())
    ->from($settings['MAIL_FROM_ADDRESS'])
    ->to('recipient@example.com')
    ->subject('Hello from Laravel')
    ->text('Sent via SMTP relay'));
