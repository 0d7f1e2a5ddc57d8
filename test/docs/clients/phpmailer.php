<?php
// php phpmailer.php BLOCK: the block as a program of its own.
require '/usr/share/php/libphp-phpmailer/autoload.php';
eval(file_get_contents($argv[1]));
