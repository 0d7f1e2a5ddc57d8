import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.mail.SimpleMailMessage;
import org.springframework.mail.javamail.JavaMailSender;

/** java Application.java --spring.config.location=BLOCK: an application of Spring Boot with that configuration; sends one message. */
@EnableAutoConfiguration
public class Application {
  public static void main(String[] args) {
    try (var context = SpringApplication.run(Application.class, args)) {
      var message = new SimpleMailMessage();
      message.setFrom("hello@yourdomain.com");
      message.setTo("recipient@example.com");
      message.setSubject("Hello from Spring Boot");
      message.setText("Sent via SMTP relay");
      context.getBean(JavaMailSender.class).send(message);
    }
  }
}
