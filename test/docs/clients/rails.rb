# ruby rails.rb BLOCK: an application of Rails whose configuration has the block; sends one message.
require "rails"
require "action_mailer/railtie"

class Application < Rails::Application
  config.eager_load = false
  config.secret_key_base = "of nobody"
  config.logger = Logger.new(File::NULL)
  class_eval File.read(ARGV.fetch(0))
end
Application.initialize!

class Hello < ActionMailer::Base
  def hello
    mail from: "hello@yourdomain.com", to: "recipient@example.com", subject: "Hello from Rails" do |format|
      format.text { render plain: "Sent via SMTP relay" }
    end
  end
end
Hello.hello.deliver_now
