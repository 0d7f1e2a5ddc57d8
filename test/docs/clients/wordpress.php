<?php
// php wordpress.php WORDPRESS BLOCK KEY: WordPress' own wp_mail() with the block as a plugin, without a database: what it would ask one for
// is given by filters.
[, $wordpress, $block, $key] = $argv;
define('ABSPATH', "$wordpress/");
define('WPINC', 'wp-includes');
define('RELAY_API_KEY', $key);
foreach (['load', 'plugin', 'functions', 'class-wp-error', 'option', 'http', 'link-template', 'general-template', 'formatting', 'l10n', 'pluggable'] as $file) {
    require_once ABSPATH . WPINC . "/$file.php";
}
foreach (['home' => 'https://yourdomain.com', 'siteurl' => 'https://yourdomain.com', 'blog_charset' => 'UTF-8'] as $name => $value) {
    add_filter("pre_option_$name", fn() => $value);
}
add_action('wp_mail_failed', function ($error) {
    fwrite(STDERR, $error->get_error_message() . "\n");
});
require $block;
exit(wp_mail('recipient@example.com', 'Hello from WordPress', 'Sent via SMTP relay') ? 0 : 1);
